"""From a commit to images in ECR: what `make images`, `make push` and the workflows run."""
