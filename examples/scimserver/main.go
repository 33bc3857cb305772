// Command scimserver is a whole SCIM 2.0 server, in memory: for people and groups, and for a resource type of its own with
// an extension it demands. Copy it, change catalogue, and put a scim.Store of yours where the one of memstore is.
package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/memstore"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// catalogue is what this server keeps: as many types as you like, each with as many extensions.
func catalogue() []scim.ResourceType {
	return []scim.ResourceType{
		{Name: "User", Endpoint: "/Users", Schema: schema.User(), Extensions: []schema.Extension{{Schema: schema.EnterpriseUser()}}},
		{Name: "Group", Endpoint: "/Groups", Schema: schema.Group()},
		{Name: "Device", Endpoint: "/Devices", Description: "Laptops and phones", Schema: device(),
			Extensions: []schema.Extension{{Schema: purchase(), Required: true}}},
	}
}

// device is a schema of its own. What is not said is a string that may be read and written and is compared in any letter case.
func device() *schema.Schema {
	return &schema.Schema{ID: "urn:example:params:scim:schemas:2.0:Device", Name: "Device", Attributes: []*schema.Attribute{
		{Name: "serial", Required: true, CaseExact: true, Mutability: schema.Immutable, Uniqueness: schema.Server},
		{Name: "model"},
		{Name: "active", Type: schema.Boolean},
		{Name: "seen", Type: schema.DateTime},
		{Name: "state", CanonicalValues: []string{"new", "used", "lost"}, Closed: true},
		{Name: "tags", MultiValued: true},
		{Name: "unlockCode", Mutability: schema.WriteOnly}, // kept by the store, never shown, nothing to filter by
		{Name: "owner", Type: schema.Complex, SubAttributes: []*schema.Attribute{ // an id, looked up before it is stored
			{Name: "value", CaseExact: true},
			{Name: "$ref", Type: schema.Reference, CaseExact: true, ReferenceTypes: []string{"User"}},
		}},
	}}
}

// purchase is an extension: more attributes of a device, under a URN of their own.
func purchase() *schema.Schema {
	return &schema.Schema{ID: "urn:example:params:scim:schemas:extension:purchase:2.0:Device", Name: "Purchase", Attributes: []*schema.Attribute{
		{Name: "order", Required: true},
		{Name: "cents", Type: schema.Integer},
	}}
}

// keep gives each type a store. One database for all lets groups hold users, and devices have owners.
func keep(types []scim.ResourceType) error {
	db := memstore.New()
	for i, t := range types {
		kind, err := schema.NewType(t.Name, t.Schema, t.Extensions...)
		if err != nil {
			return err
		}
		types[i].Store = db.Type(kind)
	}
	return nil
}

// serve serves until ctx ends, and then says http.ErrServerClosed. ready gets the base URL.
func serve(ctx context.Context, listen, token string, ready func(base string)) error {
	if len(token) < 16 {
		return errors.New("TOKEN: want 16 characters or more")
	}
	types := catalogue()
	if err := keep(types); err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	defer l.Close()
	base := "http://" + l.Addr().String() + "/scim/v2" // what every answer is addressed with; a Host header never is
	handler, err := scim.NewServer(scim.Config{
		BaseURL: base,
		Types:   types,
		Auth: func(r *http.Request) (*scim.Principal, error) {
			if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+token)) != 1 {
				return nil, scim.ErrUnauthenticated
			}
			return &scim.Principal{Subject: "the one client", Compat: schema.Standard()}, nil
		},
	})
	if err != nil {
		return err
	}
	h := &http.Server{Handler: handler, ReadTimeout: 30 * time.Second}
	ready(base)
	defer context.AfterFunc(ctx, func() { h.Close() })()
	return h.Serve(l)
}

func main() {
	listen := os.Getenv("LISTEN") // host and port
	if listen == "" {
		listen = "127.0.0.1:8081"
	}
	log.Fatal(serve(context.Background(), listen, os.Getenv("TOKEN"), func(base string) { log.Print("serving ", base) }))
}
