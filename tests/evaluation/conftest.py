"""The peers' scripts run in environments of their own, so nothing looks for doctests in them."""

collect_ignore_glob = ["tools/peers/*_peer.py", "tools/peers/protocol.py"]
