"""Prediction: a model's folder and images come in, label maps on the images' own grids go out.

A window slides over the prepared image; overlapping windows, mirrored views and folds are averaged. Its names are
imported from its modules, for `model` and `record`, which say what there is on disk, need no torch.
"""
