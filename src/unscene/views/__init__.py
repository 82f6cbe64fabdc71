"""Clips to views: one sampling map and one color matrix per sample, each applied once."""

from unscene.views.augment import BasicAugmentation, ViewParameters, make_view
from unscene.views.codec_motion import compute_residual, motion_maps, residual_maps
from unscene.views.color import ColorFactors
from unscene.views.disturb import draw_offsets, draw_phi, scale_flow, warp
from unscene.views.flow import view_flow
from unscene.views.geometry import ThinPlateSpline, tps_grid
from unscene.views.render import render

__all__ = [
    "BasicAugmentation",
    "ColorFactors",
    "ThinPlateSpline",
    "ViewParameters",
    "compute_residual",
    "draw_offsets",
    "draw_phi",
    "make_view",
    "motion_maps",
    "render",
    "residual_maps",
    "scale_flow",
    "tps_grid",
    "view_flow",
    "warp",
]
