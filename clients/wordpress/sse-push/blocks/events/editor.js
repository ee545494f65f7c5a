// SPDX-License-Identifier: Apache-2.0
(function ({ blocks, blockEditor, components, element, i18n }) {
	const { createElement: h, Fragment } = element, { __ } = i18n;
	blocks.registerBlockType('sse-push/events', {
		edit({ attributes, setAttributes }) {
			const field = (name, label, help) => h(components.TextControl, {
				label, help, value: attributes[name] ?? '', onChange: (value) => setAttributes({ [name]: value || undefined }),
			});
			return h(Fragment, null,
				h(blockEditor.InspectorControls, null, h(components.PanelBody, { title: __('Events', 'sse-push') },
					field('topic', __('Topic', 'sse-push'), __('One that pages may subscribe to, such as public/news.', 'sse-push')),
					field('event', __('Event', 'sse-push'), __('The name of the events.', 'sse-push')),
					field('field', __('Field', 'sse-push'), __('What is shown of an event that is JSON.', 'sse-push')),
					field('empty', __('While there is none', 'sse-push')),
					h(components.RangeControl, {
						label: __('How many', 'sse-push'), min: 1, max: 50, value: attributes.most, onChange: (most) => setAttributes({ most }),
					}),
				)),
				h('ul', blockEditor.useBlockProps(), h('li', null, `${attributes.event}: ${attributes.field} (${attributes.topic})`)),
			);
		},
		save: () => null,
	});
})(window.wp);
