//go:build unix

package rows

import (
	"errors"
	"os"
	"path/filepath"
)

// syncFolder has the disk have the name of a new file.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
