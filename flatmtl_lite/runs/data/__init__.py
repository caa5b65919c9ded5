"""The data sets of the experiments, read from disk, checked, and turned into training samples.

To read: ``sources`` (MNIST and Fashion-MNIST, each file checked by its hash), ``pairs`` (two images on one
canvas, and label noise), ``multimnist`` (the Multi-MNIST sets and their tasks), ``published`` (the sets that
the Pareto MTL authors published), ``scenes`` and ``scene_files`` (indoor scenes in the folder layout
of MTAN's NYUv2, and the check of each file).
"""
