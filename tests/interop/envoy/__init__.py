"""The gateway behind a real Envoy, as a mesh would run it. See ../README.md."""
