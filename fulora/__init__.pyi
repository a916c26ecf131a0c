from pipelines.jobs.images import read_images as read_images

__version__: str
