from .render.cameras import Cameras as Cameras, fixed_views as fixed_views, look_at as look_at, orbit as orbit
from .render.cameras import orthographic as orthographic, perspective as perspective, sample_sphere as sample_sphere
from .mesh.image_canvas import canvas as canvas
from .render.canvas_cameras import crops as crops, whole as whole
from .optim.checkpoint import Checkpoint as Checkpoint
from .errors import DependencyError as DependencyError, ImageError as ImageError, MeshError as MeshError
from .errors import OptionError as OptionError, OutputError as OutputError, TexoptError as TexoptError
from .errors import WeightsError as WeightsError
from .evaluation import classified_share as classified_share
from .evaluation import Evaluation as Evaluation, evaluate as evaluate, evaluate_image as evaluate_image
from .features import FeatureExtractor as FeatureExtractor, class_index as class_index, load_backbone as load_backbone
from .optim.descent import Descent as Descent
from .optim.loop import optimize as optimize
from .optim.views import Views as Views
from .mesh.texture_map import TextureMap as TextureMap
from .mesh.mesh import Mesh as Mesh
from .io.load import load_mesh as load_mesh
from .objectives import GramEMA as GramEMA, Objective as Objective, alignment as alignment, blur as blur
from .objectives import by_frame as by_frame
from .objectives import change as change, classified_as as classified_as
from .objectives import channel as channel, colors as colors, content as content, deepdream as deepdream
from .objectives import direction as direction, diversity as diversity, gram_matrix as gram_matrix
from .objectives import interpolate as interpolate, inversion as inversion, l1 as l1, l2 as l2, logit as logit
from .objectives import neuron as neuron, objective as objective, on as on, seam as seam, style as style
from .objectives import (
    patches as patches,
    photographs as photographs,
    strokes as strokes,
    total_variation as total_variation,
    transparent as transparent,
)
from .texture.paintings import palette as palette, repainted as repainted
from .render.photo_cameras import PhotoCameras as PhotoCameras
from .render.photos import Photo as Photo, Photos as Photos
from .render.fragments import Fragments as Fragments
from .objectives.view import View as View
from .render.backgrounds import composite as composite
from .render.scene import rasterize as rasterize
from .optim.result import Result as Result
from .evaluation.saliency_maps import saliency as saliency
from .show.history import Step as Step
from .show.progress import ProgressBar as ProgressBar
from .texture import Cppn as Cppn, CppnTexture as CppnTexture, blend_cppns as blend_cppns
from .texture import FourierTexture as FourierTexture, ImageTexture as ImageTexture, PixelTexture as PixelTexture
from .texture import PyramidTexture as PyramidTexture, SharedTexture as SharedTexture, Texture as Texture
from .texture import TransparentTexture as TransparentTexture
from .io.transforms_json import read_photos as read_photos

from .objectives import functional as functional
from .render import backgrounds as backgrounds, transforms as transforms
from .render.backgrounds import Background as Background
from .render.cameras import Sampler as Sampler, close_ups as close_ups, with_close_ups as with_close_ups
from .render.regions import Regions as Regions
from .render.transforms import Transform as Transform

__version__: str
