"""The demo: two real models, their traffic at many times real speed, and a pipeline that answers retrain requests."""
