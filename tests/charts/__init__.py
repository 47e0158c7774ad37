"""The chart, rendered by Helm: what it says, that Kubernetes would take it, and that its programs work."""
