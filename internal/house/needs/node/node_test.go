package node

import (
	"errors"
	"os"
	"testing"

	"github.com/regain-id/regain/internal/house/needs"
)

func TestPeersWrittenForNodeRun(t *testing.T) {
	const packages = "../../../app/testdata/node_modules/"
	_, err := os.Stat(packages + ".bin/node")
	if err == nil {
		_, err = os.Stat(packages + "oidc-provider/package.json")
	}
	if err != nil {
		err = errors.New("no Node.js with its peers: run make install")
	}
	needs.Group(t, err)
}
