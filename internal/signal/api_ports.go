package signal

import (
	"context"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
)

// Access is what receivers that call us are known by, what they fetch beside events, and whom they mean.
type Access interface {
	PutAccess(ctx context.Context, a client.Access, now time.Time) error
	Access(ctx context.Context, hash []byte, now time.Time) (*client.Access, error) // nil when there is none
	PolledNews(ctx context.Context, stream string, n int, now time.Time) ([]event.Item, error)
	PeopleBy(ctx context.Context, attribute, value string, connectors []string) ([]*account.Person, error)
}
