"""This engine as a model of the public MiMo-Audio-Eval, so that the toolkit itself runs with it.

In `slm_eval/models/__init__.py` of the toolkit, `get_model` gets three lines:

    if model == "mimo_edge":
        from mimo_edge.evaluation.toolkit import ToolkitModel
        return ToolkitModel(model_path)  # the folder of a bundle

and then `python main.py --model mimo_edge --model-path BUNDLE --dataset … --task …`.
"""

from .model import ToolkitModel

__all__ = ["ToolkitModel"]
