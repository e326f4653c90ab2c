"""Sources that come with the gateway."""
