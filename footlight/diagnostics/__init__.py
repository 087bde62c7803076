"""What is measured of an agent at each evaluation, for the doctor: critic, policy, networks, data.

A diagnosis is a function of the agent's state and of the episodes of the evaluation. It changes
nothing and draws from no stream of the training, so a run with diagnostics equals one without.
"""
