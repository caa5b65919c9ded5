"""Settings for every test."""

import torch

torch.set_num_threads(1)  # the tests' matrices are small; threads would only wait for one another
