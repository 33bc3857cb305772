package node

import (
	"errors"
	"os"
	"testing"

	"github.com/regain-id/regain/internal/house/needs"
)

func TestPeersWrittenForNodeRun(t *testing.T) {
	_, err := os.Stat("../../../app/testdata/node_modules/.bin/node")
	if err != nil {
		err = errors.New("no Node.js for peers: run make node")
	}
	needs.Group(t, err)
}
