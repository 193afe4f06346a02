"""What was probed before, so that an interrupted import goes on where it stopped."""

import json
import os
from pathlib import Path
from typing import TextIO

from training.importers.probe import Probe, Probed

JOURNAL_FILE = ".probe.jsonl"


def key_of(job: Probed, name: str) -> str:
    """What tells a file from a changed one: its name, size and time of change, and frame rate.

    A folder of frames goes by the number and the sizes of its files, and the latest change.
    """
    try:
        files = [job.path] if job.fps is None else [Path(one) for one in os.scandir(job.path)]
        told = [file.stat() for file in files]
    except OSError:  # gone since it was listed: the probe will say so
        return ""
    sizes = [len(files), sum(one.st_size for one in told)]
    return json.dumps([name, *sizes, max((one.st_mtime_ns for one in told), default=0), job.fps])


def read_journal(path: Path) -> dict[str, Probe]:
    """The probes of usable files by key. A last line that was cut off is passed over."""
    if not path.is_file():
        return {}
    known: dict[str, Probe] = {}
    with path.open() as lines:
        for line in lines:
            try:
                entry = json.loads(line)
                known[entry["key"]] = Probe.model_validate(entry["probe"])
            except (ValueError, KeyError, TypeError):
                continue
    return known


def append(journal: TextIO, key: str, probe: Probe) -> None:
    """Notes one probe at once: the process may end at any moment."""
    # It begins with a line break too, since the last run may have ended within a line.
    journal.write(f"\n{json.dumps({'key': key, 'probe': probe.model_dump()})}\n")
    journal.flush()
