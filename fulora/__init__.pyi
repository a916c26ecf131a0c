from pipelines.jobs.images import read_images as read_images
from pipelines.jobs.zero_shot import zero_shot as zero_shot

__version__: str
