"""Setting a host up: facts, a plan of steps, applying them so that a cut loses nothing, and taking all of it away."""
