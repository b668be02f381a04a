package processes

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// layerCode is a layer as if it were a function's code, which is found in the same way.
func layerCode(l template.Layer) template.Function {
	return template.Function{ID: l.ID, CodeURI: l.URI, Remote: l.Remote, Asset: l.Asset, Line: l.Line}
}

// layersOf gives the folders of a function's layers, in their order. One that is not here is said once, and what is in it is missing.
func (p *Children) layersOf(ctx context.Context, r template.Function) (folders []string) {
	known := map[string]template.Layer{}
	for _, l := range p.template().Layers {
		known[l.ID] = l
	}
	for _, id := range r.Layers {
		l, own := known[id]
		if !own {
			p.warnOnce(ctx, r.ID, fmt.Sprintf("the layer %s is not in this template: what is loaded from it has to be installed beside the function's code", id))
			continue
		}
		folder, err := p.layer(ctx, l)
		if err != nil {
			p.warnOnce(ctx, r.ID, fmt.Sprintf("the layer %s (line %d) is not here: %v", id, l.Line, err))
			continue
		}
		folders = append(folders, folder)
	}
	return folders
}

// layer gives the folder of a layer's content: what `sam build` made of it, its own, or an archive's, which is unpacked.
func (p *Children) layer(ctx context.Context, l template.Layer) (string, error) {
	code := layerCode(l)
	places := p.places(code)
	if built := p.samFolders(ctx)[l.ID]; built != "" {
		places = append([]string{built}, places...)
	}
	for _, place := range places {
		info, err := os.Stat(place)
		switch {
		case err != nil:
			continue
		case info.IsDir():
			return place, nil
		case strings.HasSuffix(place, ".zip"):
			return p.unpacked(place, filepath.Join(p.Built, "layer-"+l.ID))
		}
	}
	return "", fmt.Errorf("there is none of %s", strings.Join(places, ", "))
}

// unpacked unpacks an archive if it has not been, as it is now.
func (p *Children) unpacked(archive, folder string) (string, error) {
	now := p.stamps.of(archive)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unzipped[folder] == now.sum {
		return folder, nil
	}
	if err := unzip(archive, folder); err != nil {
		return "", err
	}
	if p.unzipped == nil {
		p.unzipped = map[string]uint64{}
	}
	p.unzipped[folder] = now.sum
	return folder, nil
}
