"""The Open Inference Protocol over gRPC. Only the package extra ``grpc`` has what this imports."""
