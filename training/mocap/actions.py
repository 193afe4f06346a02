"""The actions of the mocap data set: which recordings show them, and which are time reversals.

`lying down` is `getting up` played backwards: the same pictures in the other order, so only a model
of time can tell the two apart. The two turning actions came after the small CLIP was pretrained, so
it has never seen their names or their pictures.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Action:
    """One class of the data set."""

    label: str
    """Class name, as a person would say it; also the name of its folder."""
    recordings: tuple[str, ...]
    """pybullet recordings that show it, without the `humanoid3d_` in front."""
    backwards: bool = False
    """True where the recording is played from its end to its start."""
    turns: bool = False
    """True where a still pose out of a recording turns on the spot, counterclockwise from above."""

    @property
    def motion(self) -> str:
        """What an action and its reversal have in common: the pictures they are made of."""
        return "turntable" if self.turns else self.recordings[0]


STILL = ("walk", "punch", "kick", "jump", "dance_a", "dance_b")  # recordings to take a pose from
PRETRAINED_ACTIONS = (
    Action("walking forwards", ("walk",)),
    Action("walking backwards", ("walk",), backwards=True),
    Action("getting up from the back", ("getup_faceup",)),
    Action("lying down on the back", ("getup_faceup",), backwards=True),
    Action("getting up from the front", ("getup_facedown",)),
    Action("lying down on the front", ("getup_facedown",), backwards=True),
    Action("running", ("run",)),
    Action("jumping", ("jump",)),
    Action("kicking", ("kick",)),
    Action("punching", ("punch",)),
    Action("spinning around", ("spin",)),
    Action("doing a spin kick", ("spinkick",)),
    Action("turning a cartwheel", ("cartwheel",)),
    Action("doing a backflip", ("backflip",)),
    Action("crawling", ("crawl",)),
    Action("rolling on the ground", ("roll",)),
    Action("dancing", ("dance_a", "dance_b")),
)
ACTIONS = (
    *PRETRAINED_ACTIONS,
    Action("turning counterclockwise", STILL, turns=True),
    Action("turning clockwise", STILL, turns=True, backwards=True),
)

LABELS = tuple(sorted(action.label for action in ACTIONS))
ACTION_OF_LABEL = {action.label: action for action in ACTIONS}
REVERSAL_OF_LABEL = {
    a.label: b.label
    for a in ACTIONS
    for b in ACTIONS
    if a.motion == b.motion and a.backwards != b.backwards
}
