"""The published formats that can be imported."""

from collections.abc import Mapping

from training.importers.folders import listing_from_folders
from training.importers.har15 import listing_from_har15
from training.importers.hmdb51 import listing_from_hmdb51
from training.importers.kinetics import listing_from_kinetics
from training.importers.listing import Importer
from training.importers.lists import (
    listing_from_comma_lists,
    listing_from_frame_lists,
    listing_from_space_lists,
)
from training.importers.twentybn import listing_from_jester, listing_from_ssv2
from training.importers.ucf101 import listing_from_ucf101

IMPORTERS: Mapping[str, Importer] = {
    "folders": listing_from_folders,
    "ucf101": listing_from_ucf101,
    "hmdb51": listing_from_hmdb51,
    "kinetics": listing_from_kinetics,
    "ssv2": listing_from_ssv2,
    "jester": listing_from_jester,
    "list-space": listing_from_space_lists,
    "list-comma": listing_from_comma_lists,
    "frames": listing_from_frame_lists,
    "har15": listing_from_har15,
}
"""What reads each, by the name that a user gives."""
