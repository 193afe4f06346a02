"""What decides on validation clips: when a stage stops, how much of the tuning is kept.

C clips, K classes.
"""

import torch
from torch import Tensor

from training.action_model import ActionModel
from training.prediction import answers_of, seen_by
from training.run import Run, Split


def validation_answers(run: Run, model: ActionModel, split: Split) -> tuple[Tensor, Tensor]:
    """Logits of the main variant (C, K), and the classes (C,).

    Where training plays clips backwards and labels them so, each clip that has a reversal is asked
    about both ways: a model that forgets the order of frames shows it on twice as many clips.
    """
    seen = seen_by(model, split.views)
    logits = answers_of(model, seen, run.texts)[run.config.main_variant].logits
    reversals = run.classes.backwards[split.truth]
    turned = (reversals >= 0) & seen.moving
    if not (run.config.reversed_share and turned.any()):
        return logits, split.truth
    backwards = answers_of(model, seen.backwards(turned), run.texts)
    both = torch.cat([logits, backwards[run.config.main_variant].logits])
    return both, torch.cat([split.truth, reversals[turned]])
