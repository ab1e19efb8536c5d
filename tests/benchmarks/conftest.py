"""The peers' scripts run in environments of their own, so nothing looks for doctests in them."""

collect_ignore_glob = ["peers/*_peer.py", "peers/frames.py"]
