"""Events to read models: `projector.Projector` keeps them, `rebuild.rebuild` makes them anew, `verify.verify` checks.

Nothing is imported here: the processes of `effect_pool` shall start fast.
"""
