package signal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/regain-id/regain/internal/client"
)

// Methods of delivery (SSF 1.0 §6.1). The older pair is that of the Shared Signals and Events drafts: whoever names a
// method by it expects events in their older shape as well.
const (
	methodPush    = "urn:ietf:rfc:8935"
	methodPoll    = "urn:ietf:rfc:8936"
	methodOldPush = "https://schemas.openid.net/secevent/risc/delivery-method/push"
	methodOldPoll = "https://schemas.openid.net/secevent/risc/delivery-method/poll"
)

// Bounds of what a receiver says of a stream.
const (
	maxURI           = 300 // bytes of an address, an id or an event type
	maxAuthorization = 2 << 10
	maxDescription   = 150 // characters; what is longer is cut off (SSF 1.0 §8.1.1)
	minVerification  = 30  // seconds between two requests for verification
)

// document is a stream as a receiver reads it (SSF 1.0 §8.1.1). The authorization header is not in it: it is a secret of the
// receiver's, and whoever may read a stream need not know what events are posted with.
type document struct {
	ID              string       `json:"stream_id"`
	Issuer          string       `json:"iss"`
	Audience        string       `json:"aud"`
	Delivery        documentPath `json:"delivery"`
	Supported       []string     `json:"events_supported"`
	Requested       []string     `json:"events_requested,omitempty"`
	Delivered       []string     `json:"events_delivered"`
	MinVerification int          `json:"min_verification_interval"`
	Description     string       `json:"description,omitempty"`
}

type documentPath struct {
	Method   string `json:"method"`
	Endpoint string `json:"endpoint_url"`
}

// transmitters are the members that are ours to give.
var transmitters = []string{"stream_id", "iss", "aud", "events_supported", "events_delivered", "min_verification_interval", "inactivity_timeout"}

// draft is what a receiver says a stream should be; nil where it says nothing.
type draft struct {
	delivery    *draftPath
	requested   []string
	description *string
}

type draftPath struct {
	method        string
	endpoint      string
	authorization string
}

// parseDraft reads what a receiver may choose. Members we do not know are passed over.
func parseDraft(o object) (d draft, err error) {
	path, err := o.child("delivery")
	if err != nil {
		return d, err
	}
	if path != nil {
		d.delivery = &draftPath{}
		var errs [3]error
		d.delivery.method, errs[0] = path.text("method", maxURI)
		d.delivery.endpoint, errs[1] = path.text("endpoint_url", maxURI)
		d.delivery.authorization, errs[2] = path.text("authorization_header", maxAuthorization)
		if err := errors.Join(errs[:]...); err != nil {
			return d, fmt.Errorf("delivery: %w", err)
		}
	}
	if d.requested, err = o.texts("events_requested", client.MaxIgnored, maxURI); err != nil {
		return d, err
	}
	if d.requested != nil && len(d.requested) == 0 {
		return d, errors.New("events_requested is empty: name events, or leave it out to hear all")
	}
	if o.has("description") {
		s, err := o.text("description", maxBody)
		if err != nil {
			return d, err
		}
		s = string([]rune(s)[:min(len([]rune(s)), maxDescription)])
		d.description = &s
	}
	return d, nil
}

// foreign names the members of a new stream that only we may give.
func foreign(o object) (names []string) {
	for _, name := range transmitters {
		if o.has(name) {
			names = append(names, name)
		}
	}
	return names
}

// differs names the members that are ours to give and are not what they are (SSF 1.0 §8.1.1.3: they may be sent along
// and must match).
func (d document) differs(o object) (names []string) {
	raw, err := json.Marshal(d)
	if err != nil {
		panic(err) // our own types marshal
	}
	var now map[string]any
	if err := json.Unmarshal(raw, &now); err != nil {
		panic(err)
	}
	for _, name := range transmitters {
		if !o.has(name) {
			continue
		}
		var said any
		decoder := json.NewDecoder(bytes.NewReader(o[name]))
		if err := decoder.Decode(&said); err != nil || !matches(name, said, now[name]) {
			names = append(names, name)
		}
	}
	return names
}

// matches compares one of our members with what was sent. An audience is a text or a list of it (RFC 7519 §4.1.3), and
// lists of event types have no order.
func matches(name string, said, now any) bool {
	if list, is := said.([]any); is {
		if name == "aud" {
			return len(list) == 1 && list[0] == now
		}
		have, _ := now.([]any)
		byText := func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
		return reflect.DeepEqual(slices.SortedFunc(slices.Values(list), byText), slices.SortedFunc(slices.Values(have), byText))
	}
	return reflect.DeepEqual(said, now)
}

// apply makes a stream what a draft says. whole is a replacement: what it does not say is deleted (SSF 1.0 §8.1.1.4).
// poll is the address of polling for the stream, which may be sent along and must match.
func (d draft) apply(s *client.Stream, r *client.Receiver, whole bool, poll string) error {
	if d.description != nil || whole {
		s.Description = ""
		if d.description != nil {
			s.Description = *d.description
		}
	}
	if d.requested != nil || whole {
		s.Requested = slices.Clone(d.requested)
	}
	path := d.delivery
	if path == nil {
		if !whole {
			return nil
		}
		path = &draftPath{method: methodPoll} // SSF 1.0 §8.1.1.1: nothing said means poll
	}
	switch path.method {
	case methodPush, methodOldPush:
		if err := checkEndpoint(path.endpoint, r); err != nil {
			return err
		}
		if strings.ContainsFunc(path.authorization, func(c rune) bool { return c < ' ' || c > '~' }) || strings.TrimSpace(path.authorization) != path.authorization {
			return errors.New("delivery: authorization_header is no value of a header")
		}
		s.Delivery, s.Endpoint, s.Authorization = client.DeliverPush, path.endpoint, path.authorization
	case methodPoll, methodOldPoll:
		if path.endpoint != "" && path.endpoint != poll {
			return errors.New("delivery: the endpoint_url of polling is ours to give")
		}
		if path.authorization != "" {
			return errors.New("delivery: authorization_header is for push")
		}
		s.Delivery, s.Endpoint, s.Authorization = client.DeliverPoll, "", ""
	case "":
		return errors.New("delivery: method is missing")
	default:
		return errors.New("delivery: the method is not supported")
	}
	s.Profile = ""
	if path.method == methodOldPush || path.method == methodOldPoll {
		s.Profile = client.ProfileSSE
	}
	return nil
}

// checkEndpoint takes an address on one of the hosts that staff registered for the receiver: a token of a receiver must not
// be enough to have events sent to where somebody likes.
func checkEndpoint(s string, r *client.Receiver) error {
	if s == "" {
		return errors.New("delivery: endpoint_url is missing")
	}
	if r.MayPush(s) != nil { // what it says quotes the address
		return errors.New("delivery: endpoint_url is no https address, without user and fragment, on a host registered for this receiver")
	}
	return nil
}

// deliveryMethod is how a stream's delivery is named to the receiver: as it named it.
func deliveryMethod(s *client.Stream) string {
	switch {
	case s.Delivery == client.DeliverPush && s.Profile == client.ProfileSSE:
		return methodOldPush
	case s.Delivery == client.DeliverPush:
		return methodPush
	case s.Profile == client.ProfileSSE:
		return methodOldPoll
	}
	return methodPoll
}
