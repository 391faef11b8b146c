package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/call/calling"
	dialplanev1 "example.com/call/gen/dialplane/v1"
)

// expect is an error that tells what was seen, unless that is as it should be.
func expect(what string, right bool, seen ...any) error {
	if right {
		return nil
	}
	return fmt.Errorf("%s: %v", what, seen)
}

// refused checks code, reason and domain of an RPC or a call that failed.
func refused(err error, code codes.Code, domain, reason string) (*errdetails.ErrorInfo, error) {
	if status.Code(err) != code {
		return nil, fmt.Errorf("expected %v, not: %v", code, err)
	}
	info := calling.Detail[*errdetails.ErrorInfo](err)
	if info.GetDomain() != domain || reason != "" && info.GetReason() != reason {
		return nil, fmt.Errorf("expected %s of %s, not: %v with %v", reason, domain, err, status.Convert(err).Details())
	}
	return info, nil
}

// wrongFields are those that the error's BadRequest names.
func wrongFields(err error) (fields []string) {
	for _, violation := range calling.Detail[*errdetails.BadRequest](err).GetFieldViolations() {
		fields = append(fields, violation.GetField())
	}
	return fields
}

// callError is the error of a call, as those of RPCs are.
func callError(call *dialplanev1.Call) error { return status.ErrorProto(call.GetError()) }

// dialled checks how often a number really was called.
func (given *world) dialled(ctx context.Context, number string, times int) error {
	address := given.sandbox + "/sandbox/dialed?number=" + strings.TrimPrefix(number, "+")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var log struct {
		Dialed []json.RawMessage `json:"dialed"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&log); err != nil {
		return err
	}
	what := fmt.Sprintf("a number was to be dialled %d times, and was", times)
	return expect(what, len(log.Dialed) == times, len(log.Dialed))
}
