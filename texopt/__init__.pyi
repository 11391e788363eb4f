from .cameras import Cameras as Cameras, fixed_views as fixed_views, look_at as look_at, orbit as orbit
from .cameras import perspective as perspective, sample_sphere as sample_sphere
from .checkpoint import Checkpoint as Checkpoint
from .errors import DependencyError as DependencyError, ImageError as ImageError, MeshError as MeshError
from .errors import OptionError as OptionError, OutputError as OutputError, TexoptError as TexoptError
from .errors import WeightsError as WeightsError
from .evaluation import Evaluation as Evaluation, evaluate as evaluate
from .features import FeatureExtractor as FeatureExtractor, class_index as class_index, load_backbone as load_backbone
from .loop import optimize as optimize
from .maps import TextureMap as TextureMap
from .mesh import Mesh as Mesh, load_mesh as load_mesh
from .objectives import GramEMA as GramEMA, Objective as Objective, channel as channel, colors as colors
from .objectives import (
    content as content,
    direction as direction,
    gram_matrix as gram_matrix,
    logit as logit,
    neuron as neuron,
)
from .objectives import objective as objective, seam as seam, style as style, total_variation as total_variation
from .painting import palette as palette, repainted as repainted
from .render import Fragments as Fragments, View as View, composite as composite, rasterize as rasterize
from .result import Result as Result
from .run import Step as Step
from .texture import FourierTexture as FourierTexture, ImageTexture as ImageTexture
from .texture import PixelTexture as PixelTexture, PyramidTexture as PyramidTexture, Texture as Texture

__version__: str
