"""Training: a recipe and a data set become a run. Needs only torch, timm, numpy and safetensors."""
