package main

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	dialplanev1 "example.com/call/gen/dialplane/v1"
)

var callService = dialplanev1.CallService_ServiceDesc.ServiceName

func healthChecks(ctx context.Context, given *world) error {
	client := grpc_health_v1.NewHealthClient(given.connection)
	var failures []error
	for _, name := range []string{"", callService} {
		answer, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: name})
		watched, wrong := firstOfWatch(ctx, client, name)
		failures = append(failures, err, wrong,
			expect("Check of "+name, answer.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING, answer),
			expect("Watch of "+name, watched == grpc_health_v1.HealthCheckResponse_SERVING, watched))
	}
	_, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "nobody"})
	watched, wrong := firstOfWatch(ctx, client, "nobody")
	return errors.Join(append(failures, wrong,
		expect("Check of an unknown name", status.Code(err) == codes.NotFound, err),
		expect("Watch of an unknown name", watched == grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN, watched))...)
}

func firstOfWatch(
	ctx context.Context, client grpc_health_v1.HealthClient, name string,
) (grpc_health_v1.HealthCheckResponse_ServingStatus, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{Service: name})
	if err != nil {
		return 0, err
	}
	first, err := stream.Recv()
	return first.GetStatus(), err
}

func reflects(ctx context.Context, given *world) error {
	stream, err := grpc_reflection_v1.NewServerReflectionClient(given.connection).ServerReflectionInfo(ctx)
	if err != nil {
		return err
	}
	listed, err := asked(stream, &grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	})
	if err != nil {
		return err
	}
	var services []string
	for _, service := range listed.GetListServicesResponse().GetService() {
		services = append(services, service.GetName())
	}
	described, err := asked(stream, &grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: callService},
	})
	if err != nil {
		return err
	}
	defines, err := definesService(described.GetFileDescriptorResponse().GetFileDescriptorProto())
	return errors.Join(err,
		expect("services", slices.Contains(services, callService), services),
		expect("no file defines the service", defines),
		stream.CloseSend())
}

func asked(
	stream grpc_reflection_v1.ServerReflection_ServerReflectionInfoClient,
	request *grpc_reflection_v1.ServerReflectionRequest,
) (*grpc_reflection_v1.ServerReflectionResponse, error) {
	if err := stream.Send(request); err != nil {
		return nil, err
	}
	return stream.Recv()
}

// definesService tells whether one of these files defines dialplane.v1.CallService.
func definesService(files [][]byte) (bool, error) {
	for _, bytes := range files {
		var file descriptorpb.FileDescriptorProto
		if err := proto.Unmarshal(bytes, &file); err != nil {
			return false, err
		}
		for _, service := range file.GetService() {
			if file.GetPackage()+"."+service.GetName() == callService {
				return true, nil
			}
		}
	}
	return false, nil
}
