"""Everything that is measured of a trained network, from its accuracy to the shape of its loss.

To read: ``evaluation`` (outputs, accuracy, sharpness), ``calibration`` and ``entropy`` (how honest the
probabilities are), ``scenes`` (the nine scene metrics and Δm), ``snapshots`` (gradients at many radii ρ),
``landscape`` (slices of the losses), ``twins`` (the same measure of single-task networks).
"""
