"""First-party sources, transforms, destinations and stores; they load as any plugin does."""
