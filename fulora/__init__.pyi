from pipelines.jobs.images import read_images as read_images
from pipelines.jobs.mix import mix as mix

__version__: str
