"""The networks of the experiments, with the closures and losses that the training step calls.

To read: ``images`` (networks for Multi-MNIST), ``scenes`` (networks for indoor scenes), ``losses`` (the
losses of the scene tasks), ``layout`` (how weights lie in memory).
"""
