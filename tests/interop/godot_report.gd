# Runs inside Godot: writes what the imported files named on the command line hold.
# FILE.json: surfaces, and the size of each one's texture. FILE.corners: float32 x, y, z, u, v of every corner.
# FILE.INDEX.png: the base colour texture of a surface.
extends SceneTree

var surfaces
var corners

func _init():
	for path in OS.get_cmdline_args():
		if path.begins_with("res://"):
			report(path)
	quit()

func report(path):
	surfaces = []
	corners = File.new()
	corners.open(path + ".corners", File.WRITE)
	var resource = load(path)
	if resource is PackedScene:
		walk(resource.instance(), path)
	elif resource is Mesh:
		add(resource, Transform(), path)
	corners.close()
	var file = File.new()
	file.open(path + ".json", File.WRITE)
	file.store_string(to_json(surfaces))
	file.close()

func walk(node, path):
	if node is MeshInstance:
		add(node.mesh, node.transform, path)
	for child in node.get_children():
		walk(child, path)

func add(mesh, transform, path):
	for index in range(mesh.get_surface_count()):
		var arrays = mesh.surface_get_arrays(index)
		var points = arrays[Mesh.ARRAY_VERTEX]
		var uvs = arrays[Mesh.ARRAY_TEX_UV]
		for corner in arrays[Mesh.ARRAY_INDEX]:
			var point = transform.xform(points[corner])
			for value in [point.x, point.y, point.z, uvs[corner].x, uvs[corner].y]:
				corners.store_float(value)
		var material = mesh.surface_get_material(index)
		var texture = material.albedo_texture
		if texture:
			texture.get_data().save_png(path + "." + str(len(surfaces)) + ".png")
		surfaces.append({"vertices": len(points), "material": material.resource_name, "texture": texture != null})
