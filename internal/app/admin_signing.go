package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/store"
)

// SigningInfo is what the command line shows of a signing key.
type SigningInfo = store.SigningInfo

// RotateSigning lets the next key sign for every purpose and algorithm that has one, or for those that are named, and
// returns the keys as they are then. It may be repeated; the key that signed before is published for 30 days more.
func (a *Admin) RotateSigning(ctx context.Context, purpose, alg string) ([]SigningInfo, error) {
	if purpose != "" && purpose != keyring.ForIDTokens && purpose != keyring.ForEvents {
		return nil, fmt.Errorf("purpose %q: want %s or %s", purpose, keyring.ForIDTokens, keyring.ForEvents)
	}
	if algs := []string{keyring.RS256, keyring.ES256, keyring.EdDSA}; alg != "" && !slices.Contains(algs, alg) {
		return nil, fmt.Errorf("algorithm %q: want %s, %s or %s", alg, algs[0], algs[1], algs[2])
	}
	all, err := a.Store.SigningInfos(ctx)
	if err != nil {
		return nil, err
	}
	found := false
	for _, k := range all {
		if k.State != keyring.Current || purpose != "" && k.Purpose != purpose || alg != "" && k.Alg != alg {
			continue
		}
		found = true
		if _, err := a.Store.RotateSigning(ctx, k.Purpose, k.Alg, a.now(), a.actor); err != nil {
			return nil, err
		}
	}
	if !found {
		return nil, errors.New("there is no such key: the first one is made for the first app or receiver that needs it")
	}
	return a.Store.SigningInfos(ctx)
}

// WithdrawSigning stops publishing a key at once and returns the keys as they are then. Whoever keeps a copy of the key set
// believes it until they read it again.
func (a *Admin) WithdrawSigning(ctx context.Context, id string) ([]SigningInfo, error) {
	if err := a.Store.WithdrawSigning(ctx, id, a.now(), a.actor); err != nil {
		return nil, missing("signing key", id, err)
	}
	return a.Store.SigningInfos(ctx)
}
