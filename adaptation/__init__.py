"""Labels in, a head out: what clipdex learns from a user's examples, and labels written back.

Only the modules that train import torch, and only while they do.
"""
