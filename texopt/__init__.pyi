# The public names of texopt, by layer.

# the run
from .optim.checkpoint import Checkpoint as Checkpoint
from .optim.descent import Descent as Descent
from .optim.loop import optimize as optimize
from .optim.result import Result as Result
from .optim.views import Views as Views

# measuring
from .evaluation import Evaluation as Evaluation, classified_share as classified_share, evaluate as evaluate
from .evaluation import evaluate_image as evaluate_image
from .evaluation.saliency_maps import saliency as saliency

# what is shown
from .show.history import Step as Step
from .show.progress import ProgressBar as ProgressBar

# files
from .io.load import load_mesh as load_mesh
from .io.transforms_json import read_photos as read_photos

# objectives
from .objectives import GramEMA as GramEMA, Objective as Objective, across_frames as across_frames
from .objectives import alignment as alignment, blur as blur
from .objectives import by_frame as by_frame, change as change, channel as channel, classified_as as classified_as
from .objectives import colors as colors, content as content, deepdream as deepdream, direction as direction
from .objectives import diversity as diversity, find_light as find_light, functional as functional
from .objectives import gram_matrix as gram_matrix
from .objectives import inversion as inversion, l1 as l1, l2 as l2, lit as lit, logit as logit
from .objectives import neuron as neuron, objective as objective, on as on, patches as patches
from .objectives import photographs as photographs, seam as seam, silhouettes as silhouettes, strokes as strokes
from .objectives import style as style
from .objectives import total_variation as total_variation, transparent as transparent
from .objectives.view import View as View

# textures
from .texture import Cppn as Cppn, CppnTexture as CppnTexture, FourierTexture as FourierTexture
from .texture import ImageTexture as ImageTexture, PixelTexture as PixelTexture, PyramidTexture as PyramidTexture
from .texture import Relief as Relief
from .texture import SharedTexture as SharedTexture, Texture as Texture, TransparentTexture as TransparentTexture
from .texture import blend_cppns as blend_cppns
from .texture.paintings import palette as palette, repainted as repainted

# networks
from .features import FeatureExtractor as FeatureExtractor, class_index as class_index, load_backbone as load_backbone

# cameras, views, backgrounds
from .render import backgrounds as backgrounds, transforms as transforms
from .render.backgrounds import Background as Background, composite as composite
from .render.cameras import Cameras as Cameras, Sampler as Sampler, close_ups as close_ups, fixed_views as fixed_views
from .render.cameras import look_at as look_at, orbit as orbit, orthographic as orthographic
from .render.cameras import perspective as perspective, sample_sphere as sample_sphere
from .render.cameras import with_close_ups as with_close_ups
from .render.canvas_cameras import crops as crops, whole as whole
from .render.fragments import Fragments as Fragments
from .render.photo_cameras import PhotoCameras as PhotoCameras
from .render.photos import Photo as Photo, Photos as Photos
from .render.regions import Regions as Regions
from .render.scene import rasterize as rasterize
from .render.shading import Light as Light, Lighting as Lighting, environment_of as environment_of
from .render.shading import irradiance as irradiance, lamp as lamp, moving_light as moving_light, shade as shade
from .render.shading import swinging_lamp as swinging_lamp
from .render.transforms import Transform as Transform

# meshes
from .mesh.finish import Finish as Finish
from .mesh.image_canvas import canvas as canvas
from .mesh.mesh import Mesh as Mesh
from .mesh.shape import Shape as Shape
from .mesh.texture_map import TextureMap as TextureMap

# errors
from .errors import DependencyError as DependencyError, ImageError as ImageError, MeshError as MeshError
from .errors import OptionError as OptionError, OutputError as OutputError, TexoptError as TexoptError
from .errors import WeightsError as WeightsError

__version__: str
