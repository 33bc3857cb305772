package reset

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/regain-id/regain/internal/method"
)

// A recovery code is sixteen letters and digits: five select it, eleven are kept as a slow hash (80 bits in all).
const (
	RecoveryLength   = 16
	SelectorLength   = 5
	RecoveryAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford base 32
)

// TidyRecovery returns a recovery code as it is compared: upper case, without spaces and dashes, and with the letters
// that look like digits read as those.
func TidyRecovery(code string) string {
	return strings.NewReplacer("O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(Tidy(code)))
}

func (s *Service) verifyRecovery(ctx context.Context, u *subject, a *Attempt, code string, now time.Time) (*method.Method, error) {
	code = TidyRecovery(code)
	selector := ""
	if len(code) == RecoveryLength {
		selector = code[:SelectorLength]
	}
	codes, err := s.Store.RecoveryCodes(ctx, a.Person, selector)
	if err != nil {
		return nil, err
	}
	// One slow hash is computed whatever was found, so that time tells nothing.
	hash, id, owner := s.Keys.DummyHash(), "", ""
	if len(codes) > 0 && selector != "" {
		hash, id, owner = codes[0].Hash, codes[0].ID, codes[0].Method
	}
	right := s.Keys.VerifySecret(hash, code)
	m := u.find(func(m *method.Method) bool {
		return m.ID == owner && m.Kind == method.RecoveryCode && u.usable(m, now) && a.Counts(m, u.trusts)
	})
	if !right || m == nil || id == "" {
		return nil, nil
	}
	used, err := s.Store.UseRecoveryCode(ctx, id, now)
	if err != nil || !used {
		return nil, err
	}
	return m, nil
}

// verifyTOTP accepts the code of the time step, or of the one before or after it, each step once (RFC 6238 §5.2).
func (s *Service) verifyTOTP(ctx context.Context, u *subject, c *Challenge, code string, now time.Time) (*method.Method, error) {
	m := u.find(func(m *method.Method) bool { return m.ID == c.Method && m.Kind == method.TOTP && u.usable(m, now) })
	if m == nil {
		return nil, nil
	}
	step, ok, err := MatchTOTP(m, code, now)
	if err != nil || !ok {
		return nil, err
	}
	claimed, err := s.Store.UseStep(ctx, m.ID, step, now)
	if err != nil || !claimed {
		return nil, err
	}
	return m, nil
}

// MatchTOTP returns the time step whose code was typed, looking one step to either side (RFC 6238 §5.2). Whether the
// step was used before is the store's to say.
func MatchTOTP(m *method.Method, code string, now time.Time) (step int64, ok bool, err error) {
	digits, period := m.Digits, int64(m.Period)
	if digits == 0 {
		digits = 6
	}
	if period == 0 {
		period = 30
	}
	algorithm, err := Algorithm(m.Algorithm)
	if err != nil {
		return 0, false, err
	}
	current := now.Unix() / period
	for _, candidate := range []int64{current, current - 1, current + 1} {
		want, err := hotp.GenerateCodeCustom(base32Seed(m.Secret), uint64(candidate), hotp.ValidateOpts{Digits: otp.Digits(digits), Algorithm: algorithm})
		if err != nil {
			return 0, false, fmt.Errorf("method %s: %w", m.ID, err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			step, ok = candidate, true
		}
	}
	return step, ok, nil
}

// lookAhead is how many codes of a token may have been made and not shown here (RFC 4226 §7.4): people press the button.
const lookAhead = 10

// verifyHOTP accepts the next code of a token, or one of the few after it, each once and none before it again (RFC 4226 §7).
func (s *Service) verifyHOTP(ctx context.Context, u *subject, c *Challenge, code string, now time.Time) (*method.Method, error) {
	m := u.find(func(m *method.Method) bool { return m.ID == c.Method && m.Kind == method.HOTP && u.usable(m, now) })
	if m == nil {
		return nil, nil
	}
	counter, ok, err := matchHOTP(m, code)
	if err != nil || !ok {
		return nil, err
	}
	claimed, err := s.Store.UseStep(ctx, m.ID, counter, now)
	if err != nil || !claimed {
		return nil, err
	}
	return m, nil
}

// matchHOTP returns the counter whose code was typed. All of the window are computed, whichever it is.
func matchHOTP(m *method.Method, code string) (counter int64, ok bool, err error) {
	algorithm, err := Algorithm(m.Algorithm)
	if err != nil {
		return 0, false, err
	}
	for candidate := m.LastStep + lookAhead; candidate > m.LastStep; candidate-- { // the nearest counts where two are alike
		want, err := hotp.GenerateCodeCustom(base32Seed(m.Secret), uint64(candidate), hotp.ValidateOpts{Digits: otp.Digits(max(m.Digits, 6)), Algorithm: algorithm})
		if err != nil {
			return 0, false, fmt.Errorf("method %s: %w", m.ID, err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			counter, ok = candidate, true
		}
	}
	return counter, ok, nil
}

// Algorithm returns the hash of a name as RFC 6238 writes it; empty means SHA1.
func Algorithm(name string) (otp.Algorithm, error) {
	switch name {
	case "", "SHA1":
		return otp.AlgorithmSHA1, nil
	case "SHA256":
		return otp.AlgorithmSHA256, nil
	case "SHA512":
		return otp.AlgorithmSHA512, nil
	}
	return 0, fmt.Errorf("algorithm %q: want SHA1, SHA256 or SHA512", name)
}

func parseNetwork(s string) (netip.Addr, error) {
	p, err := netip.ParsePrefix(s)
	return p.Addr(), err
}
