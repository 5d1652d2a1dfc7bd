package relayctl

import (
	"testing"

	"github.com/relayhouse/relayhouse/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
