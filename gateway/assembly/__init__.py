"""The composition root: who gets what, in one place. Its parts are parameters, so that a test builds what `serve` builds."""
