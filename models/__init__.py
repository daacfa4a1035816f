"""The YOLOv5 family with attention."""
