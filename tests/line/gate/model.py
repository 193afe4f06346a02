"""A model behind a gate: what comes before it opens waits in Triton's own queue."""

import json
import time
from pathlib import Path

import triton_python_backend_utils as pb_utils

POLL_SECONDS = 0.01


class TritonPythonModel:
    """Answers one request after another while the folder `gate` has a file `open`."""

    def initialize(self, args):
        self.gate = Path(json.loads(args["model_config"])["parameters"]["gate"]["string_value"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        with (self.gate / "begun").open("a") as begun:
            begun.write(f"{request.request_id()}\n")
        while not (self.gate / "open").exists():
            time.sleep(POLL_SECONDS)
        return pb_utils.InferenceResponse([pb_utils.get_input_tensor_by_name(request, "X")])
