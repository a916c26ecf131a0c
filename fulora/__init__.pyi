from pipelines.jobs.assess import assess as assess
from pipelines.jobs.checklist import checklist as checklist
from pipelines.jobs.classify import classify as classify
from pipelines.jobs.generate import generate as generate
from pipelines.jobs.images import read_images as read_images
from pipelines.jobs.measure import measure as measure
from pipelines.jobs.mix import mix as mix
from pipelines.jobs.score import score as score
from pipelines.jobs.score_masks import score_masks as score_masks
from pipelines.jobs.segment import segment as segment
from pipelines.jobs.train_classifier import train_classifier as train_classifier
from pipelines.jobs.train_lora import train_lora as train_lora
from pipelines.jobs.train_unet import train_unet as train_unet
from pipelines.jobs.tune_clip import tune_clip as tune_clip
from pipelines.jobs.zero_shot import zero_shot as zero_shot

__version__: str
