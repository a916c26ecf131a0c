from pipelines.jobs.classify import classify as classify
from pipelines.jobs.images import read_images as read_images
from pipelines.jobs.train_classifier import train_classifier as train_classifier
from pipelines.jobs.train_unet import train_unet as train_unet
from pipelines.jobs.tune_clip import tune_clip as tune_clip

__version__: str
