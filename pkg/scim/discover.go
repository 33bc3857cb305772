package scim

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// discovery holds the answers of the discovery endpoints (RFC 7644 §4), made once.
type discovery struct {
	config  any
	types   documents
	schemas documents
}

// documents are the resources of one discovery endpoint, by id.
type documents struct {
	order []string
	by    map[string]any
}

func (d *documents) add(id string, doc any) {
	if d.by == nil {
		d.by = map[string]any{}
	}
	if _, twice := d.by[id]; !twice {
		d.order = append(d.order, id)
		d.by[id] = doc
	}
}

func (discovery) has(name string) bool {
	return name == "ServiceProviderConfig" || name == "ResourceTypes" || name == "Schemas"
}

type metadata struct {
	ResourceType string `json:"resourceType"`
	Location     string `json:"location"`
}

type extensionDoc struct {
	Schema   string `json:"schema"`
	Required bool   `json:"required"`
}

type typeDoc struct {
	Schemas     []string       `json:"schemas"`
	ID          string         `json:"id"`
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"`
	Endpoint    string         `json:"endpoint"`
	Schema      string         `json:"schema"`
	Extensions  []extensionDoc `json:"schemaExtensions,omitempty"`
	Meta        metadata       `json:"meta"`
}

type schemaDoc struct {
	Schemas []string `json:"schemas"`
	*schema.Schema
	Meta metadata `json:"meta"`
}

const coreURN = "urn:ietf:params:scim:schemas:core:2.0:"

// describe makes what the discovery endpoints say of some types, to a client that may write or not, and set passwords or not.
func (s *Server) describe(types []*resourceType, readOnly, passwords bool) discovery {
	d := discovery{config: s.describeService(readOnly, passwords)}
	for _, t := range types {
		doc := typeDoc{Schemas: []string{coreURN + "ResourceType"}, ID: t.ResourceType.Name, Name: t.ResourceType.Name,
			Description: t.Description, Endpoint: t.Endpoint, Schema: t.Core.ID,
			Meta: metadata{"ResourceType", s.base + "/ResourceTypes/" + t.ResourceType.Name}}
		d.addSchema(s, t.Core)
		for _, e := range t.Type.Extensions {
			doc.Extensions = append(doc.Extensions, extensionDoc{e.Schema.ID, e.Required})
			d.addSchema(s, e.Schema)
		}
		d.types.add(doc.ID, doc)
	}
	return d
}

func (d *discovery) addSchema(s *Server, c *schema.Schema) {
	d.schemas.add(c.ID, schemaDoc{[]string{coreURN + "Schema"}, c, metadata{"Schema", s.base + "/Schemas/" + c.ID}})
}

// describeService makes ServiceProviderConfig (RFC 7643 §5). The limits of bulk and filter are always there: some clients
// fail to read the document without them and then switch PATCH off.
func (s *Server) describeService(readOnly, passwords bool) any {
	type supported struct {
		Supported bool `json:"supported"`
	}
	type m = map[string]any
	doc := m{
		"schemas":        []string{coreURN + "ServiceProviderConfig"},
		"patch":          supported{!readOnly},
		"bulk":           m{"supported": !readOnly, "maxOperations": s.cfg.Limits.BulkMaxOps, "maxPayloadSize": s.cfg.Limits.BulkMaxBytes},
		"filter":         m{"supported": true, "maxResults": s.cfg.Limits.MaxResults},
		"changePassword": supported{passwords && !readOnly},
		"sort":           supported{true},
		"etag":           supported{true},
		"pagination": m{"cursor": true, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": s.cfg.Limits.DefaultResults,
			"maxPageSize": s.cfg.Limits.MaxResults, "cursorTimeout": int(s.cfg.Cursor.TTL / time.Second)},
		"authenticationSchemes": []m{{"type": "oauthbearertoken", "name": "OAuth Bearer Token", "primary": true,
			"description": "A bearer token in the Authorization header.", "specUri": "https://www.rfc-editor.org/info/rfc6750"}},
		"meta": metadata{"ServiceProviderConfig", s.base + "/ServiceProviderConfig"},
	}
	if s.cfg.Async != nil || len(s.cfg.Events) > 0 { // RFC 9967 §4
		async := "none"
		if s.cfg.Async != nil && !readOnly {
			async = "request"
		}
		doc["securityEvents"] = m{"asyncRequest": async, "eventUris": append([]string{}, s.cfg.Events...)}
	}
	if s.cfg.DocumentationURI != "" {
		doc["documentationUri"] = s.cfg.DocumentationURI
	}
	return doc
}

// described is what the principal may know of: what it may use.
func (q request) described() discovery {
	if q.p.Types == nil && !q.p.ReadOnly && !q.p.ChangePassword {
		return q.s.disc
	}
	var types []*resourceType
	for _, t := range q.s.types {
		if q.p.Types == nil || contains(q.p.Types, t.ResourceType.Name) {
			types = append(types, t)
		}
	}
	return q.s.describe(types, q.p.ReadOnly, q.p.ChangePassword || q.s.cfg.ChangePassword)
}

// discover answers the discovery endpoints, by list and by id.
func (q request) discover(method string, seg []string) (*response, error) {
	if method != http.MethodGet {
		return nil, q.notAllowed(map[string]func() (*response, error){"GET": nil})
	}
	none := &Error{Status: http.StatusNotFound, Detail: "no such resource"}
	v, err := q.query()
	if err != nil {
		return nil, err
	}
	if v.Has("filter") { // RFC 7644 §4
		return nil, &Error{Status: http.StatusForbidden, Detail: "discovery cannot be filtered"}
	}
	disc := q.described()
	docs := disc.types
	switch {
	case seg[0] == "ServiceProviderConfig":
		if len(seg) > 1 {
			return nil, none
		}
		return document(disc.config)
	case seg[0] == "Schemas":
		docs = disc.schemas
	}
	switch len(seg) {
	case 1:
		all := make([]any, 0, len(docs.order))
		for _, id := range docs.order {
			all = append(all, docs.by[id])
		}
		return document(map[string]any{"schemas": []string{listURN}, "totalResults": len(all), "startIndex": 1,
			"itemsPerPage": len(all), "Resources": all})
	case 2:
		if doc, ok := docs.by[seg[1]]; ok {
			return document(doc)
		}
	}
	return nil, none
}

func document(v any) (*response, error) {
	body, err := json.Marshal(v)
	return &response{status: http.StatusOK, body: body}, err
}
