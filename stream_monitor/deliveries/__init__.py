"""Stage three: alerts and retrain requests on their way out."""
