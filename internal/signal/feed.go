package signal

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
)

// A feed tells of people and groups as SCIM knows them (RFC 9967), to receivers that list its events and to their streams
// that ask for them:
//
//	person.created  group.created             prov:create
//	person.restored                           prov:create        they were told that the person is deleted
//	person.updated  group.updated             prov:put by PUT, prov:patch by anything else
//	person.deleted  group.deleted             prov:delete
//	person.deactivated  person.reactivated    prov:deactivate, prov:activate
//	request.answered                          misc:asyncresp
//
// They say which attributes changed and never to what: whoever wants to know asks by SCIM, and so sees what they may see.

// feedMeaning is the event of a feed that an event of ours is, by name; "" for none.
func feedMeaning(e event.Event) string {
	if e.Type == event.RequestAnswered { // one that failed is an answer as well
		return client.FeedAnswer
	}
	if e.Outcome != event.Success {
		return ""
	}
	switch e.Type {
	case event.PersonCreated, event.PersonRestored, event.GroupCreated:
		return client.FeedCreateNotice
	case event.PersonUpdated, event.GroupUpdated:
		if e.Data["by"] == "PUT" {
			return client.FeedPutNotice
		}
		return client.FeedPatchNotice
	case event.PersonDeleted, event.GroupDeleted:
		return client.FeedDelete
	case event.PersonDeactivated:
		return client.FeedDeactivate
	case event.PersonReactivated:
		return client.FeedActivate
	}
	return ""
}

// follow makes one delivery of an event for each stream that follows what it is about.
func (s *Service) follow(ctx context.Context, i event.Item) error {
	e, err := s.Store.Event(ctx, i.Event)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	name := ""
	if err == nil {
		name = feedMeaning(e)
	}
	if err != nil || name == "" {
		return err
	}
	receivers, err := s.Store.Receivers(ctx)
	if err != nil {
		return err
	}
	connector, known := "", false // whose it is: asked once, and only when somebody wants to know
	var all event.Expanded
	for n := range receivers {
		r := &receivers[n]
		if r.Disabled || r.Kind != client.ReceiverSSF || !r.Hears(name) {
			continue
		}
		if len(r.Connectors) > 0 && !known {
			if connector, err = s.broughtBy(ctx, e); err != nil {
				return err
			}
			known = true
		}
		if len(r.Connectors) > 0 && (connector == "" || !r.Follows(connector)) {
			continue
		}
		streams, err := s.Store.StreamsOf(ctx, r.ID)
		if err != nil {
			return err
		}
		for m := range streams {
			st := &streams[m]
			if st.Status == client.StreamDisabled || !slices.Contains(Delivered(r, st), uri(name)) || unheard(e, st.ID) {
				continue
			}
			if all, err = s.add(ctx, all, r, st.ID, e, event.Child{Kind: kindOfStream(st), Ref: makeRef(st.ID, name, "")}); err != nil {
				return err
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// broughtBy is the connector that brought whom or what an event is about; "" when that cannot be told.
func (s *Service) broughtBy(ctx context.Context, e event.Event) (string, error) {
	if e.Subject != "" && e.Type != event.RequestAnswered {
		p, err := s.Store.Person(ctx, e.Subject)
		if err != nil {
			return "", err
		}
		if p != nil {
			return p.Connector, nil
		}
	}
	id, _ := strings.CutPrefix(e.Actor, "connector:") // a connector touches nothing but its own
	if id == e.Actor {
		return "", nil
	}
	return id, nil
}

// unheard reports whether a stream was not to hear of somebody who is deleted.
func unheard(e event.Event, stream string) bool {
	all, _ := e.Data["unheard"].([]any)
	return slices.Contains(all, any(stream))
}

// resource names what an event of a feed is about (RFC 9967 §2.1). Where it stood is known of one that is gone; what its
// connector calls it is not.
func (s *Service) resource(ctx context.Context, e event.Event) (subject, error) {
	group, _ := e.Data["group"].(string)
	switch {
	case e.Type == event.RequestAnswered:
		return s.answerSubject(ctx, e)
	case e.Subject != "":
		return s.personResource(ctx, e.Subject)
	case group != "":
		sub := subject{"format": "scim", "uri": "/Groups/" + url.PathEscape(group)}
		connector, _ := strings.CutPrefix(e.Actor, "connector:")
		g, err := s.Store.Group(ctx, group, connector)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
		if err == nil && g.ExternalID != "" {
			sub["externalId"] = g.ExternalID
		}
		return sub, nil
	}
	return nil, errNothing{noSubject}
}

func (s *Service) personResource(ctx context.Context, person string) (subject, error) {
	sub := subject{"format": "scim", "uri": "/Users/" + url.PathEscape(person)}
	p, err := s.Store.Person(ctx, person)
	if err == nil && p != nil && p.ExternalID != "" {
		sub["externalId"] = p.ExternalID
	}
	return sub, err
}

// endpoints are where resources stand, by their type.
var endpoints = map[string]string{"User": "/Users", "Group": "/Groups", "AuthenticationMethod": "/AuthenticationMethods"}

// answerSubject is what a request was about: the resource there is now, or what it named when there is none.
func (s *Service) answerSubject(ctx context.Context, e event.Event) (subject, error) {
	kind, _ := e.Data["resource"].(string)
	id, _ := e.Data["id"].(string)
	switch {
	case id != "" && kind == "User":
		return s.personResource(ctx, id)
	case id != "" && endpoints[kind] != "":
		return subject{"format": "scim", "uri": endpoints[kind] + "/" + url.PathEscape(id)}, nil
	case e.Private["path"] != "":
		return subject{"format": "scim", "uri": e.Private["path"]}, nil
	}
	return subject{"format": "scim", "uri": "/Bulk"}, nil
}

// feedFacts is what an event of a feed tells of an event of ours: names of attributes, and no value of any.
func (s *Service) feedFacts(ctx context.Context, e event.Event, name string) (map[string]any, error) {
	facts := map[string]any{}
	switch name {
	case client.FeedAnswer:
		return s.answerFacts(e), nil
	case client.FeedDelete, client.FeedActivate, client.FeedDeactivate:
		return facts, nil
	}
	names := []string{}
	list, _ := e.Data["attributes"].([]any)
	for _, n := range list {
		if text, ok := n.(string); ok {
			names = append(names, text)
		}
	}
	for _, moved := range []string{"added", "removed"} {
		if n, there := e.Data[moved].(float64); there && (n > 0 || e.Data["replaced"] == true) && !slices.Contains(names, "members") {
			names = append(names, "members")
		}
	}
	switch e.Type {
	case event.PersonRestored:
		p, err := s.Store.Person(ctx, e.Subject)
		if err != nil {
			return nil, err
		}
		if p == nil { // deleted again: that is told next
			return nil, errNothing{"no-subject"}
		}
		if names, err = attributesOf(p.Attrs); err != nil {
			return nil, err
		}
	case event.PersonCreated:
		names = append(names, "active")
	}
	if e.Type == event.PersonCreated || e.Type == event.PersonRestored || e.Type == event.GroupCreated {
		names = append([]string{"id"}, names...)
	}
	facts["attributes"] = names
	if n, there := e.Data["version"].(float64); there {
		facts["version"] = `W/"` + strconv.Itoa(int(n)) + `"`
	}
	return facts, nil
}

// attributesOf are the attributes that stand in what is kept of a person, by the paths of RFC 7644 §3.5.2.
func attributesOf(attrs json.RawMessage) ([]string, error) {
	names := []string{"active"}
	if len(attrs) == 0 {
		return names, nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(attrs, &all); err != nil {
		return nil, err
	}
	for key, v := range all {
		var parts map[string]json.RawMessage
		switch {
		case strings.HasPrefix(key, "$"): // ours
		case strings.Contains(key, ":") && json.Unmarshal(v, &parts) == nil:
			for part := range parts {
				names = append(names, key+":"+part)
			}
		default:
			names = append(names, key)
		}
	}
	slices.Sort(names)
	return names, nil
}

// answerFacts is one operation of the answer to a bulk request (RFC 7644 §3.7.3, RFC 9967 §2.5.1.3).
func (s *Service) answerFacts(e event.Event) map[string]any {
	status, _ := e.Data["status"].(float64)
	facts := map[string]any{"method": e.Data["method"], "status": strconv.Itoa(int(status))}
	if id := e.Private["bulkId"]; id != "" {
		facts["bulkId"] = id
	}
	kind, _ := e.Data["resource"].(string)
	if id, _ := e.Data["id"].(string); id != "" && endpoints[kind] != "" {
		facts["location"] = s.base + "/scim/v2" + endpoints[kind] + "/" + url.PathEscape(id)
	}
	if v, _ := e.Data["version"].(string); v != "" {
		facts["version"] = v
	}
	if e.Outcome != event.Success {
		facts["response"] = json.RawMessage(e.Private["response"])
	}
	return facts
}
