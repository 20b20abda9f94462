"""What the API calls the kinds that the operator watches, reads or writes."""

PLURALS = {
    "Node": "nodes",
    "Pod": "pods",
    "Service": "services",
    "Secret": "secrets",
    "Event": "events",
    "Job": "jobs",
    "DaemonSet": "daemonsets",
    "Deployment": "deployments",
    "Lease": "leases",
    "NetworkPolicy": "networkpolicies",
    "TokenReview": "tokenreviews",
    "EdgeModel": "edgemodels",
    "EdgeModelRevision": "edgemodelrevisions",
}
